import smtplib


def send(message):
    server = smtplib.SMTP("smtp.example.org", 587)
    server.starttls()
    server.login("mailer@example.org", "{{password}}")
    server.send_message(message)
