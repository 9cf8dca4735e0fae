"""Pages for people: made of `web/templates`, with the files of `web/static`."""
