"""Colours and type of the card: JupyterLab's variables, then VS Code's, then values that read on
white and on black.

Inline styles only: one piece of HTML must read in JupyterLab, Notebook 7, nbconvert and VS Code,
without a stylesheet. Words keep the surroundings' own colour, so that they read in any theme; a
tone colours the card's edge, its faint tint and the marks."""

from __future__ import annotations

TEXT = "var(--jp-ui-font-color0,var(--vscode-editor-foreground,inherit))"
BORDER = "var(--jp-border-color1,var(--vscode-panel-border,rgba(128,128,128,.45)))"

#: Tone -> colour of edge and marks.
TONES = {
    "ok": "var(--jp-success-color1,var(--vscode-testing-iconPassed,#2e8b3a))",
    "sim": "var(--jp-brand-color1,var(--vscode-textLink-foreground,#1976d2))",
    "warn": "var(--jp-warn-color1,var(--vscode-editorWarning-foreground,#c77700))",
    "bad": "var(--jp-error-color1,var(--vscode-errorForeground,#d32f2f))",
    "quiet": "rgba(128,128,128,.7)",
}

#: Tone -> tint behind the card, thin enough for dark and light.
TINTS = {
    "ok": "rgba(128,128,128,.08)",
    "sim": "rgba(128,128,128,.08)",
    "warn": "rgba(245,124,0,.10)",
    "bad": "rgba(229,57,53,.12)",
    "quiet": "rgba(128,128,128,.08)",
}

#: The same without variables.  A front end that cleans a stranger's HTML drops what has variables,
#: and keeps these.
PLAIN_TONES = {
    "ok": "#2e8b3a",
    "sim": "#1976d2",
    "warn": "#c77700",
    "bad": "#d32f2f",
    "quiet": "rgba(128,128,128,.7)",
}

#: For what matters less.
FAINT = "color:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,#737373))"
MONO = "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px"
