"""The live view: a page that shows what the daemon sees. Imported where `web.enabled` is true only."""
