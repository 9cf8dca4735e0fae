"""All pages of administration."""

from __future__ import annotations

from typing import NamedTuple

from apiv3.web.site.admin.checks import CheckPage
from apiv3.web.site.admin.clients import ClientPages
from apiv3.web.site.admin.devices import DevicePages
from apiv3.web.site.admin.roles import RolePages
from apiv3.web.site.admin.sessions import SessionPages
from apiv3.web.site.admin.state import StatePage
from apiv3.web.site.admin.subjects import SubjectPages
from apiv3.web.site.admin.trail import TrailPages
from apiv3.web.site.admin.users import UserPages


class AdminPages(NamedTuple):
    subjects: SubjectPages
    clients: ClientPages
    devices: DevicePages
    roles: RolePages
    check: CheckPage
    users: UserPages
    sessions: SessionPages
    trail: TrailPages
    state: StatePage
