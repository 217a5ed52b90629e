from jinja2 import Environment, FileSystemLoader

pages = Environment(loader=FileSystemLoader("pages"), autoescape=True)


def comment_page(comment):
    return pages.get_template("comment.html").render(comment=comment)
