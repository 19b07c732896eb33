"""How one model family encodes, predicts and decodes. The only room that knows diffusers' models."""
