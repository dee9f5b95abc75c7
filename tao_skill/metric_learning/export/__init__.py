"""From a trained model to ONNX files and engines, each compared with the model before anyone relies on it."""
