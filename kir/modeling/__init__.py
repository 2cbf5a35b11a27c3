"""Models of layers: how they are called, recorded, built, lowered and saved."""
