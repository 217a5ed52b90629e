from openai import OpenAI

client = OpenAI(api_key="{{openai}}")


def ask(question):
    return client.responses.create(model="small", input=question).output_text
