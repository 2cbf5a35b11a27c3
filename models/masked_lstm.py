"""Two LSTMs over sequences of unknown length, of which any step may be masked."""

from kir import Input, Sequential
from kir.layers import LSTM, Dense, Masking

model = Sequential(
    [
        Input(shape=(None, 8), name="steps"),
        Masking(mask_value=0.0),
        LSTM(32, return_sequences=True),
        LSTM(16),
        Dense(3, activation="softmax", name="label"),
    ],
    name="masked_lstm",
)
