"""The examples are valid: by the models, by the rules, and by the command that their readers have."""

from pathlib import Path

import pytest
import yaml

from vinoserve_api.rules import check_class, check_service
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_example_is_valid(file: Path) -> None:
    documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
    assert documents
    for document in documents:
        if document["kind"] == "InferenceService":
            assert not check_service(InferenceService.load(document))
        else:
            assert not check_class(AcceleratorClass.load(document))
