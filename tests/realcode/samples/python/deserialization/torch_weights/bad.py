import torch


def load_model(model, path):
    state = torch.load(path, map_location="cpu")
    model.load_state_dict(state)
    return model.eval()
