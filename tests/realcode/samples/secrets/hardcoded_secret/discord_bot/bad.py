import discord

bot = discord.Client(intents=discord.Intents.default())
bot.run("{{discord_bot}}")
