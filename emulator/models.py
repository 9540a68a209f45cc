"""What GetAvailableModels answers by default: the live answer of captures/02."""

from emulator.values import Json


def _efforts(*names: tuple[str, str]) -> list[Json]:
    return [{"effort": f"REASONING_EFFORT_{effort}", "displayName": shown} for effort, shown in names]


_AGENT: Json = {
    "kimiPlusId": "ok-computer",
    "reasoningEffortOptions": [
        *_efforts(("LOW", "Standard"), ("HIGH", "High")),
        {
            "effort": "REASONING_EFFORT_MAX",
            "displayName": "Max",
            "description": "Consumes more credits",
        },
    ],
    "defaultReasoningEffort": "REASONING_EFFORT_HIGH",
    "contextLengthOptions": [
        {"contextLength": "CONTEXT_LENGTH_L", "displayName": "Standard", "available": True},
        {
            "contextLength": "CONTEXT_LENGTH_XL",
            "displayName": "Extra Long",
            "description": "Up to 1M tokens; consumes more credits",
            "label": "Allegro plan only",
            "minMembershipLevel": "LEVEL_ADVANCED",
        },
    ],
    "defaultContextLength": "CONTEXT_LENGTH_L",
}

DEFAULT_MODELS: Json = {
    "availableModels": [
        {
            "scenario": "SCENARIO_CHAT",
            "displayName": "Instant",
            "description": "Fast chat, quick replies",
            "inputPlaceholder": "Ask anything. Images work too.",
            "key": "k2d6",
            "reasoningEffortOptions": _efforts(("NONE", "Standard"), ("LOW", "High")),
            "defaultReasoningEffort": "REASONING_EFFORT_LOW",
            "id": "k2d6-chat",
        },
        {
            "scenario": "SCENARIO_OK_COMPUTER",
            "agentMode": "TYPE_NORMAL",
            **_AGENT,
            "displayName": "K2.8",
            "description": "Well-rounded and efficient for everyday tasks",
            "label": ["Preview"],
            "inputPlaceholder": "Ask anything, or task an agent...",
            "key": "k28-preview",
            "id": "k28-agent-preview",
        },
        {
            "scenario": "SCENARIO_OK_COMPUTER",
            "agentMode": "TYPE_NORMAL",
            **_AGENT,
            "displayName": "K3",
            "description": "Chat & Agent, flagship all-rounder",
            "inputPlaceholder": "Ask anything, or task an agent...",
            "key": "k3",
            "switchableTo": ["k3-agent-swarm"],
            "id": "k3-agent",
        },
        {
            "scenario": "SCENARIO_OK_COMPUTER_SWARM",
            "agentMode": "TYPE_ULTRA",
            **_AGENT,
            "displayName": "K3 Swarm",
            "description": "Massive search, batch processing, and more in one go",
            "inputPlaceholder": "Assign a task to your AI team...",
            "key": "k3-agent-ultra",
            "switchableTo": ["k3-agent"],
            "id": "k3-agent-swarm",
            "minMembershipLevel": "LEVEL_BASIC",
        },
    ],
    "defaultScenario": {"scenario": "SCENARIO_CHAT", "model": "k2d6-chat"},
}
