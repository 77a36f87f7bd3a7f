"""`spec.model`: what to serve, and how its tensors meet its clients."""

from typing import Annotated, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.fields import Matches
from vinoserve_api.v1alpha1.values import (
    ColorFormat,
    ElementType,
    FiniteFloat,
    Layout,
    ModelColorFormat,
    ModelFormat,
    ObjectName,
    Shape,
    Text,
)

SERVED_NAME = Matches(
    r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
    "is not a name or version to serve under; write letters, digits, '.', '_' and '-', a letter or digit first and last",
)


class Credentials(Document):
    secret_name: ObjectName = Field(
        description="Secret of the same namespace; only the fetch container sees it. Keys, by the uri's scheme: "
        "https: token (bearer), or username and password (basic). hf: HF_TOKEN, HF_ENDPOINT. "
        "s3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL. "
        "gs: service-account.json, GOOGLE_BASE_URL. "
        "az: AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_ENDPOINT. "
        "oci: .dockerconfigjson (type kubernetes.io/dockerconfigjson): the node pulls with it. "
        "All but oci: ca.crt to trust a private authority."
    )


class ClientTensor(Document):
    """What clients send, where it differs from what the model takes."""

    element_type: ElementType | None = Field(
        None, description="Element type that clients send; converted to the model's."
    )
    shape: Shape | None = Field(
        None,
        description="Shape that clients send, in the client's layout; -1 where any size may come. Of pictures in planes it is "
        "the first plane's, NHWC of one channel; the others follow from it.",
    )
    layout: Layout | None = Field(None, description="Layout that clients send, such as NHWC.")
    color_format: ColorFormat | None = Field(
        None,
        description="Colour format of the pictures that clients send. NV12 and I420 in several planes are inputs of their own, "
        "NAME/y and NAME/uv or NAME/u and NAME/v; GRAY of them is the plane of brightness as it comes. Of files: what they are "
        "decoded to, RGB where left out.",
    )
    encoding: Literal["none", "image"] = Field(
        "none",
        description="image: clients send JPEG or PNG files as BYTES, one element a picture (base64 in JSON). They are decoded, "
        "turned upright as EXIF of a JPEG says, without transparency, in 8 bits, and with resize each is resized by itself.",
    )


class ModelTensor(Document):
    """What the model takes, where its file doesn't say."""

    color_format: ModelColorFormat | None = Field(
        None, description="Colour format that the model was trained on."
    )


class Input(Document):
    name: Text = Field(description='The model\'s own input name, or its index ("0").')
    shape: Shape | None = Field(
        None, description="Shape to give the model: static is fastest, bounded beats dynamic."
    )
    buckets: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=16)] | None = Field(
        None,
        description="Instead of shape: fixed shapes, each compiled; a request is padded to the smallest that holds it, "
        "and its results are cut back. For models whose shapes change, on devices that want them fixed.",
    )
    pad_value: FiniteFloat = Field(
        0.0,
        description="With buckets: what a request is padded with, as clients send it (before mean and scale).",
    )
    layout: Layout | None = Field(None, description="The model's layout, such as NCHW.")
    client: ClientTensor | None = Field(
        None, description="What clients send, where it differs; the conversion is compiled into the model."
    )
    model: ModelTensor | None = Field(None, description="What the model takes, where its file doesn't say.")
    resize: Literal["linear", "cubic", "nearest"] | None = Field(
        None, description="Resize what clients send to the model's height and width with this filter."
    )
    mean: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Subtracted from each channel, after resizing; one number, or one a channel."
    )
    scale: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Each channel is divided by it, after mean; one number, or one a channel."
    )


class OutputModelTensor(Document):
    """What the model gives, where its file doesn't say."""

    layout: Layout | None = Field(
        None, description="The model's layout, such as NCHW; needs layout beside it."
    )


class Output(Document):
    name: Text = Field(description='The model\'s own output name, or its index ("0").')
    element_type: ElementType | None = Field(None, description="Element type that clients get.")
    layout: Layout | None = Field(
        None,
        description="Layout that clients get, such as NHWC; converted from model.layout, or from what the model's file says.",
    )
    model: OutputModelTensor | None = Field(
        None, description="What the model gives, where its file doesn't say."
    )


class Model(Document):
    uri: Annotated[str, Field(min_length=5, max_length=2048)] = Field(
        description="Where the model is: hf://OWNER/NAME[@REVISION][/PATH], s3://BUCKET/KEY, gs://BUCKET/KEY, "
        "az://CONTAINER/KEY (KEY of an object or of a folder), oci://REGISTRY/REPOSITORY:TAG or @sha256:…, "
        "https://HOST/PATH (http:// with a digest), pvc://CLAIM/PATH, or file:PATH in the pod. "
        "A file, a folder, or a .tar, .tar.gz, .tar.bz2, .tar.xz or .zip of one."
    )
    format: ModelFormat | None = Field(None, description="Left out: told from the files.")
    digest: (
        Annotated[
            str,
            Field(max_length=71),
            Matches(
                r"^sha256:[0-9a-f]{64}$",
                "is not a digest; write sha256: and 64 lower case hexadecimal digits",
            ),
        ]
        | None
    ) = Field(
        None,
        description="sha256 of the file that the uri names (of a folder: of its manifest). A model that doesn't match never starts.",
    )
    name: Annotated[str, Field(max_length=128), SERVED_NAME] | None = Field(
        None, description="Name that clients use; metadata.name where left out."
    )
    version: Annotated[str, Field(max_length=32), SERVED_NAME] = Field(
        "1", description="Version that clients see."
    )
    credentials: Credentials | None = Field(None, description="How to be let in where the uri leads to.")
    inputs: Annotated[tuple[Input, ...], Field(max_length=64)] = Field(
        (), description="Shapes and preprocessing, by input; what isn't named stays as the model has it."
    )
    outputs: Annotated[tuple[Output, ...], Field(max_length=64)] = Field(
        (), description="Postprocessing, by output; what isn't named stays as the model has it."
    )
