import os
import smtplib


def send(message):
    server = smtplib.SMTP("smtp.example.org", 587)
    server.starttls()
    server.login("mailer@example.org", os.environ["SMTP_PASSWORD"])
    server.send_message(message)
