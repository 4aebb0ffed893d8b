"""How the demo's two small models were trained and are judged, from seeds; the workflow itself never loads this."""
