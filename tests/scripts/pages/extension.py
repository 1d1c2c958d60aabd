def titled(slug):
    return slug.replace("-", " ").title()
