"""The console: screens over a view model; the only place that knows textual."""
