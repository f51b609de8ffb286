"""What reports and explanations stand on: a document, a canvas for figures, and how numbers look."""
