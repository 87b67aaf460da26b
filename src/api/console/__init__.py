"""The console: pages for auditors and operators, made on the server; they tell what the REST interface tells.

How a page is added:

1. A module of this package with a `Blueprint` and a thin handler: `@blueprint.get("/console/usage/")`, then
   `@for_auditors` (or `@for_administrators`), which brings others to the sign-in, or says what is missing. Parse,
   ask the functions that the REST handlers ask, `return render(request, "usage.html", ...)`.
2. The blueprint stands in `app.BLUEPRINTS`, and a line in `shell.NAVIGATION` if the page belongs there.
3. A template in `templates/`: `{% extends "base.html" %}`, the heading in the block `title`, the rest in `content`.
   Links are `place("/console/...", name=value)`; times, sizes, fields and tables are made as in `parts.html`.
4. A form that changes something is a POST with `{{ parts.token(token) }}`, answered with `see(request, "/...")`.
5. What is wrong with a field: catch `Invalid` and `NotFound`, and render the page again with `wrong=Wrong.of(error)`.
   Any other error needs nothing: `problems.Pages` tells it as a page.
6. Who sees what is recorded of others is recorded before: `await readings_of(request).record(...)`, as REST does.
7. A picture is a pure function that gives coordinates (`scales.py` has axes), and a template that draws them as SVG
   within `parts.picture`; colours are classes of `console.css`, words are `<title>`; a table below says the same.
8. No `style`, no `<script>` with a text, nothing from another host: the policy in `shell.py` forbids it.
9. A test in `tests/api/test_console_*.py` that looks at the page as `tests.api.pages.Page`, which also finds fields
   without labels, leaps between headings and tables without captions.
"""
