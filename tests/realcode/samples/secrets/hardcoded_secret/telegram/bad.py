from telegram.ext import Application

application = Application.builder().token("{{telegram}}").build()
