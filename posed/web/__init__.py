"""The live view: a page that shows what the daemon sees. Imported only where `web.enabled` is true."""
