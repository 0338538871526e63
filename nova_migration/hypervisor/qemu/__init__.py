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


"""Live migrations as QEMU reports them, from both of its ends.

Three layers, kept apart: what QEMU says (``vocabulary``), what we have seen
of it (``evidence``), and what follows from that (``verdict``). These, and the
recorded streams (``stream``), are pure; ``driver`` talks to two QEMUs and
``link`` to the Migration object.
"""
