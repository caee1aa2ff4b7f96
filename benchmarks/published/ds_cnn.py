"""The keyword-spotting DS-CNN of MLPerf Tiny (mlcommons/tiny, training/keyword_spotting).

After Zhang et al., "Hello Edge", arXiv:1711.07128: one 10 x 4 convolution at stride 2, four blocks
of a depthwise and a pointwise convolution, each with batch normalisation and ReLU, one average over
what is left, and a softmax over the 12 words. The input is 49 frames of 10 MFCCs.
"""

from typing import Any

INPUT_SHAPE = (49, 10, 1)
N_CLASSES = 12


def ds_cnn(
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
    n_classes: int = N_CLASSES,
    *,
    filters: int = 64,
    n_blocks: int = 4,
) -> Any:
    """Return the Keras model with random weights; `filters` and `n_blocks` are the paper's."""
    from keras import Input, Model, layers, regularizers

    decay = regularizers.L2(1e-4)

    def normalised(x: Any) -> Any:
        return layers.Activation("relu")(layers.BatchNormalization()(x))

    inputs = Input(shape=input_shape)
    x = layers.Conv2D(
        filters, (10, 4), strides=(2, 2), padding="same", kernel_regularizer=decay
    )(inputs)  # fmt: skip
    x = layers.Dropout(0.2)(normalised(x))
    for _ in range(n_blocks):
        x = normalised(
            layers.DepthwiseConv2D(
                (3, 3), depth_multiplier=1, padding="same", depthwise_regularizer=decay
            )(x)
        )
        x = normalised(layers.Conv2D(filters, (1, 1), padding="same", kernel_regularizer=decay)(x))
    x = layers.Dropout(0.4)(x)
    x = layers.AveragePooling2D(pool_size=(input_shape[0] // 2, input_shape[1] // 2))(x)
    x = layers.Flatten()(x)
    return Model(inputs, layers.Dense(n_classes, activation="softmax")(x))
