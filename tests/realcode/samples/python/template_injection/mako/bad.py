from mako.template import Template


def render_report(title, rows):
    return Template("<h1>" + title + "</h1>\n% for row in rows:\n<p>${row}</p>\n% endfor\n").render(rows=rows)
