#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""The options."""

import importlib.metadata

from oslo_config import cfg
from oslo_config import fixture as cfg_fixture

from nova_migration.conf import opts
from tests import base


class OptionsTest(base.TestCase):
    """Options are registered with the ConfigOpts that is passed in."""

    def setUp(self):
        super().setUp()
        self.conf = opts.register(cfg.ConfigOpts())
        self.conf([], project='nova', default_config_files=[])
        self.config = self.useFixture(cfg_fixture.Config(self.conf))

    def test_defaults(self):
        """Out of the box, rows are created as Nova 34 does."""
        ours = self.conf[opts.GROUP]

        self.assertEqual(opts.StatusFormat.LEGACY, ours.status_format)
        self.assertEqual(opts.Mode.ENFORCE, ours.mode)
        self.assertEqual(3600, ours.stuck_after)

    def test_each_format_can_be_chosen(self):
        """Each form that there is can be configured."""
        for chosen in opts.StatusFormat:
            self.config.config(group=opts.GROUP, status_format=chosen.value)

            self.assertEqual(chosen, self.conf[opts.GROUP].status_format)

    def test_each_mode_can_be_chosen(self):
        """Each mode that there is can be configured, and no other."""
        for chosen in opts.Mode:
            self.config.config(group=opts.GROUP, mode=chosen.value)

            self.assertEqual(chosen, self.conf[opts.GROUP].mode)
        self.assertRaises(
            ValueError, self.config.config, group=opts.GROUP, mode='strict'
        )

    def test_other_formats_are_refused(self):
        """A form that there is not cannot be configured."""
        for value in ('Canonical', '', 'both'):
            self.assertRaises(
                ValueError,
                self.config.config,
                group=opts.GROUP,
                status_format=value,
            )

    def test_a_move_is_not_stuck_at_once(self):
        """The time after which a move is stuck is at least a second."""
        for value in (0, -1):
            self.assertRaises(
                ValueError,
                self.config.config,
                group=opts.GROUP,
                stuck_after=value,
            )

    def test_database_options(self):
        """The connection is the one of Nova's own [database] section."""
        self.config.config(group='database', connection='sqlite://')

        self.assertEqual('sqlite://', self.conf.database.connection)

    def test_registering_twice(self):
        """A service that has the options already may register them again."""
        self.assertIs(self.conf, opts.register(self.conf))

    def test_nothing_global(self):
        """Registering leaves oslo.config's global alone."""
        self.assertNotIn(opts.GROUP, cfg.CONF)

    def test_every_option_has_help(self):
        """Each option, and each of its choices, is explained."""
        for option in opts.OPTIONS:
            self.assertTrue(option.help)
        for name, words in (
            ('status_format', opts.StatusFormat),
            ('mode', opts.Mode),
        ):
            (choices,) = [
                option.type.choices
                for option in opts.OPTIONS
                if option.name == name
            ]
            self.assertEqual(list(words), list(choices))
            self.assertNotIn(None, choices.values())

    def test_generator_lists_what_is_registered(self):
        """The sample configuration has all of our options."""
        ((group, listed),) = opts.list_opts()

        self.assertEqual(opts.GROUP, group)
        self.assertEqual(
            {option.dest for option in listed}, set(self.conf[group])
        )

    def test_generator_finds_them(self):
        """oslo-config-generator finds the options by their entry point."""
        (found,) = importlib.metadata.entry_points(
            group='oslo.config.opts', name='nova_migration'
        )

        self.assertIs(opts.list_opts, found.load())
