"""Which folders this library's own classes load, whatever model type they name; not part of a release."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from .configuration_chinese_modernbert import AUTO_MAP, ChineseModernBertConfig


def own_config(name: str, **fields: Any) -> ChineseModernBertConfig | None:
    """Return the configuration of a checkpoint or release of this library, None for a model of others.

    A release names Transformers' `modernbert`, so that the Auto classes load that class unless they are given this
    configuration: `AutoModel.from_pretrained(name, config=config)` then takes ours.

    Args:
        name: folder or Hub name
        fields: fields to change, such as `num_labels`

    Raises:
        OSError: If there is no such model.
        ValueError: With its name, if its configuration holds values of another kind or out of range.
    """
    try:
        values, _ = PretrainedConfig.get_config_dict(name)
        named = str((values.get("auto_map") or {}).get("AutoConfig", ""))
        if values.get("model_type") != ChineseModernBertConfig.model_type and not named.endswith(
            AUTO_MAP["AutoConfig"]
        ):
            return None
        return ChineseModernBertConfig.from_pretrained(name, **fields)
    except (AttributeError, TypeError, ValueError) as error:  # Transformers takes any JSON for a configuration
        raise ValueError(f"the config.json of {name} cannot be read: {error}") from error
