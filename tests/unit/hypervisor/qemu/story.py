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


"""Evidence made by hand, a fact a line."""

from nova_migration.hypervisor.qemu import journal
from nova_migration.hypervisor.qemu import recorder
from nova_migration.hypervisor.qemu import verdict


class Story:
    """What happened to one pair, told in order."""

    def __init__(self):
        self.journal = journal.Journal()
        self.journal.aim(journal.DESTINATION)
        self.source = recorder.Recorder(self.journal, journal.SOURCE)
        self.destination = recorder.Recorder(self.journal, journal.DESTINATION)

    def says(self, end, *statuses):
        """Let an end report statuses, or STOP and RESUME, as events."""
        for status in statuses:
            if status.isupper():
                end.heard(status, {})
            else:
                end.heard('MIGRATION', {'status': status})
        return self

    def here(self, *statuses):
        """Let the source report."""
        return self.says(self.source, *statuses)

    def there(self, *statuses):
        """Let the destination report."""
        return self.says(self.destination, *statuses)

    def ask(self, end, status, running, error=''):
        """Ask an end for both, as the driver does."""
        asked = end.sent('query-migrate')
        answer = {'status': status} if status else {}
        if error:
            answer['error-desc'] = error
        end.answered('query-migrate', asked, answer)
        asked = end.sent('query-status')
        state = 'running' if running else 'paused'
        end.answered(
            'query-status', asked, {'running': running, 'status': state}
        )
        return self

    def send(self, end, word, refused=''):
        """Send a command that is answered at once."""
        asked = end.sent(word)
        if refused:
            end.refused(word, asked, refused)
        else:
            end.answered(word, asked, {})
        return self

    @property
    def now(self):
        """What follows for the newest attempt."""
        return verdict.advance(self.journal.current)

    @property
    def causes(self):
        """Why, first cause first."""
        return [str(reason.cause) for reason in self.now.reasons]
