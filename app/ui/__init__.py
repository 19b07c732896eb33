"""A page in the browser for one service, which it calls as any client does. The only room that knows Gradio."""
