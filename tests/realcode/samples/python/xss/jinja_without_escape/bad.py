from jinja2 import Environment, FileSystemLoader

pages = Environment(loader=FileSystemLoader("pages"), autoescape=False)


def comment_page(comment):
    return pages.get_template("comment.html").render(comment=comment)
