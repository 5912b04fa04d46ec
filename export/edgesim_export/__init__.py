"""From a trained encoder to int8 model files, proven against it and packed for a device."""
