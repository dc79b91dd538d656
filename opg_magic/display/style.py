"""Colours and type of the card: JupyterLab's variables, then VS Code's, then values that read on white and on black.

Inline styles only: one piece of HTML must read in JupyterLab, Notebook 7, nbconvert and VS Code, without a stylesheet.
"""

from __future__ import annotations

TEXT = "var(--jp-ui-font-color1,var(--vscode-editor-foreground,inherit))"
MUTED = "var(--jp-ui-font-color2,var(--vscode-descriptionForeground,#757575))"
PANEL = "var(--jp-layout-color2,var(--vscode-textBlockQuote-background,rgba(128,128,128,.09)))"
INSET = "var(--jp-layout-color1,var(--vscode-editor-background,transparent))"
BORDER = "var(--jp-border-color2,var(--vscode-panel-border,rgba(128,128,128,.4)))"

#: Tone -> colour of its words and of the card's edge.
TONES = {
    "ok": "var(--jp-success-color1,var(--vscode-testing-iconPassed,#2e8b3a))",
    "sim": "var(--jp-brand-color1,var(--vscode-textLink-foreground,#1976d2))",
    "warn": "var(--jp-warn-color1,var(--vscode-editorWarning-foreground,#b26a00))",
    "bad": "var(--jp-error-color1,var(--vscode-errorForeground,#d32f2f))",
    "quiet": MUTED,
}

FAINT = f"color:{MUTED}"
MONO = "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px"
