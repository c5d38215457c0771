"""The page of `unbraid explore`: trained runs, moved by sliders. Only app.py needs Gradio."""
