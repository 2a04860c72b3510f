"""The last room before metal: allow, clamp with a reason, or stop with a reason."""
