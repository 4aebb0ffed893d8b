"""What figures and pages are made of: one style, and small pieces of HTML. Tables in, figures out; no pyplot."""
