"""What people are told when something is refused: for every code a sentence that they can act on, in both languages."""

import re
from itertools import product

import pytest

from services.portal.sentences import of_refusal, of_uploads
from services.portal.words import LANGUAGES
from shared.contract.codes import Code
from shared.contract.linking import LinkFailure
from shared.contract.uploads import UploadCode

FOR_DEVELOPERS = re.compile(
    r"detalj|details|forespørsel|request|sha-|token|bearer|[KM]iB|http:|fetch|\bkode|\bcode|meldt\b|announced|_|{|None",
    re.IGNORECASE,
)


def is_for_people(sentence: str) -> bool:
    """Whether it is one or more whole sentences without words that only a developer would know."""
    return not FOR_DEVELOPERS.search(sentence) and re.fullmatch(r"[A-ZÆØÅ].+[.]", sentence) is not None


@pytest.mark.parametrize(("code", "language"), list(product(Code, LANGUAGES)))
def test_a_refusal_is_told_in_words_for_people(code: Code, language: str) -> None:
    assert is_for_people(of_refusal(code, code.message, language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_whatever_ends_an_upload_is_told_in_words_for_people(language: str) -> None:
    sentences = of_uploads(language)
    assert set(UploadCode) <= set(sentences)
    assert [sentence for sentence in sentences.values() if not is_for_people(sentence)] == []


@pytest.mark.parametrize("failure", LinkFailure)
def test_why_a_link_failed_is_told_in_words_for_people(failure: LinkFailure) -> None:
    assert is_for_people(failure.message.nb)
    assert is_for_people(failure.message.en)


def test_the_contract_s_sentences_for_developers_would_be_found() -> None:
    assert not is_for_people(Code.INVALID_REQUEST.message.nb)
    assert not is_for_people(UploadCode.UPLOAD_DIFFERS.message.en)
    assert not is_for_people("Failed to fetch")


def test_what_is_told_in_english_is_not_norwegian() -> None:
    assert not set(of_uploads("nb").values()) & set(of_uploads("en").values())
