"""How names, phone numbers and other texts are compared: the same for what is stored and
what is asked.
"""

import re
import unicodedata

# Letters that Unicode does not decompose, and the plain letters that people type for them.
_PLAIN_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "\u0131": "i",
        "ŋ": "n",
        "ŧ": "t",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "ĸ": "k",
        "ə": "e",
        "ɓ": "b",
        "ɗ": "d",
        "ƙ": "k",
        "\u2019": "'",
        "\u2018": "'",
        "\u02bc": "'",
        "\u2010": "-",
        "\u2011": "-",
        "\u2013": "-",
    }
)
# Country calling codes of two digits; 1 and 7 have one digit, all others three (ITU-T E.164).
_COUNTRY_DIGITS = re.compile("[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[0-9]{3}")
_NOT_DIGITS = re.compile(r"[^0-9]+")
_EXTENSION = re.compile(r"(?:\s*(?:;?\s*ext\.?|x|#)\s*=?\s*[0-9]{1,6}\s*)$", re.IGNORECASE)
MIN_PHONE_DIGITS = 5


def normalise_text(text: str) -> str:
    """Returns lower case without accents and with single spaces: `  Strøm-GARCÍA` is
    `strom-garcia`.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # Compatibility forms become plain first: casefolding leaves the capitals of a trade mark sign.
    folded = unicodedata.normalize("NFKD", text).casefold()
    decomposed = unicodedata.normalize("NFKD", folded)
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(plain.translate(_PLAIN_LETTERS).split())


def phone_keys(text: str) -> tuple[str, ...]:
    """Returns the digits that a phone number is found by; none for a text that is no phone number.

    `(03) 5555 0123` and `+61 3 5555 0123` share the national number `355550123`.
    """
    written = _EXTENSION.sub("", text.strip().removeprefix("tel:"))
    digits = _NOT_DIGITS.sub("", written)
    if len(digits) < MIN_PHONE_DIGITS or re.search("[A-Za-z@]", written):
        return ()
    international = written.startswith("+") or digits.startswith("00")
    digits = digits.lstrip("0")
    if not international and not (len(digits) == 11 and digits.startswith("1")):
        return (digits,) if digits else ()
    country = _COUNTRY_DIGITS.match(digits)
    national = digits[country.end() :].lstrip("0") if country else ""
    return (digits, national) if national else (digits,)


def contact_codes(text: str) -> tuple[str, ...]:
    """Returns what a ContactPoint's value is found by: a phone number's keys, any other
    in lower case.
    """
    return phone_keys(text) or (text.strip().casefold(),)
