from mako.template import Template

REPORT = Template(
    "<h1>${title}</h1>\n% for row in rows:\n<p>${row}</p>\n% endfor\n", default_filters=["h"]
)


def render_report(title, rows):
    return REPORT.render(title=title, rows=rows)
