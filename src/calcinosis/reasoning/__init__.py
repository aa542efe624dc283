"""From facts to hypotheses: statuses, alarms, diseases, work-up and the reasons for each."""
