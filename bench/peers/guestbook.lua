-- wrk's requests for an entry.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.body = "name=Ann+Lee&message=What+a+%22small%22+program+%26+how+fast+it+is%21"
