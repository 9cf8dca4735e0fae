"""apiv3: a security-first, self-hosted data API that speaks Nightscout's APIv3."""

__version__ = "0.1.0"
API_VERSION = "3.0.5"
