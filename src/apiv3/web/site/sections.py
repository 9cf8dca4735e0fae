"""The sections of administration: where they are, what they are called, and who may see them."""

from __future__ import annotations

from typing import NamedTuple

from apiv3.security.demands import administration
from apiv3.security.permissions import Demand

ADMIN = "/admin"


class Section(NamedTuple):
    path: str
    label: str
    demand: Demand


SUBJECTS = Section(f"{ADMIN}/subjects", "Subjects", administration("subjects", "read"))
CLIENTS = Section(f"{ADMIN}/clients", "Applications", administration("clients", "read"))
DEVICES = Section(f"{ADMIN}/devices", "Devices", administration("devices", "read"))
ROLES = Section(f"{ADMIN}/roles", "Roles", administration("roles", "list"))
CHECK = Section(f"{ADMIN}/check", "Who may do what", administration("permissions", "read"))
USERS = Section(f"{ADMIN}/users", "Users", administration("users", "read"))
SESSIONS = Section(f"{ADMIN}/sessions", "Sessions", administration("sessions", "read"))
FAILURES = Section(f"{ADMIN}/failures", "Failed sign-ins", administration("failures", "read"))
AUDIT = Section(f"{ADMIN}/audit", "Audit trail", administration("audit", "read"))
STATE = Section(f"{ADMIN}/state", "Server", administration("state", "read"))
SECTIONS = (SUBJECTS, CLIENTS, DEVICES, ROLES, CHECK, USERS, SESSIONS, FAILURES, AUDIT, STATE)
