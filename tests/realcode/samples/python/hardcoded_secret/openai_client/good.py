from openai import OpenAI

client = OpenAI()


def ask(question):
    return client.responses.create(model="small", input=question).output_text
