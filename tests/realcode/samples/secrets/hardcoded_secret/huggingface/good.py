from huggingface_hub import login

login()  # reads HF_TOKEN, or give login(token="hf_...")
