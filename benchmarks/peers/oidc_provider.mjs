// node-oidc-provider with dynamic registration, as its documentation shows it, on its in-memory store.
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const provider = new Provider(`http://127.0.0.1:${port}`, { features: { registration: { enabled: true } } });
provider.listen(port, "127.0.0.1");
