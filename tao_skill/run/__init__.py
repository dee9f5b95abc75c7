"""Decide what a run does, then let others do it: `runner` tells the story, one file holds each verb.

Every step up to the plan is a pure function of plain data; nothing is written or moved before the plan exists.
"""
