"""The page people look at: one self-contained HTML file with the findings, the dial on their data, and the problems."""
