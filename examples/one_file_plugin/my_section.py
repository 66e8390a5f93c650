from auditor import Section, hookimpl


class MySection(Section):
    """How many numbers were found for each model, and how many are missing."""

    name = "my_section"
    title = "What was measured"
    order = 135
    template = "{% for row in rows %}<p>{{ row.model }}: {{ row.found }} found, {{ row.missing }} missing</p>{% endfor %}"

    def context(self, evidence):
        rows = []
        for model in evidence.models:
            values = [summary.value for summary in evidence.summaries if summary.model == model["id"]]
            rows.append({"model": model["id"], "found": len(values) - values.count(None), "missing": values.count(None)})
        return {"rows": rows}


@hookimpl
def register_sections():
    return [MySection]
