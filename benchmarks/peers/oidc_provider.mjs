// node-oidc-provider with dynamic registration: on its in-memory store, or in Redis through an adapter of the
// kind its documentation describes (one JSON value for each entity, with its expiry).
import Provider from "oidc-provider";

const [port, redisPort] = process.argv.slice(2).map(Number);
const configuration = { features: { registration: { enabled: true } } };
if (redisPort) {
  const { Redis } = await import("ioredis");
  const redis = new Redis(redisPort, "127.0.0.1", { db: 2 });
  configuration.adapter = class {
    constructor(kind) {
      this.kind = kind;
    }
    name(id) {
      return `oidc:${this.kind}:${id}`;
    }
    async upsert(id, payload, expiresIn) {
      const value = JSON.stringify(payload);
      await (expiresIn ? redis.set(this.name(id), value, "EX", expiresIn) : redis.set(this.name(id), value));
    }
    async find(id) {
      const value = await redis.get(this.name(id));
      return value ? JSON.parse(value) : undefined;
    }
    async destroy(id) {
      await redis.del(this.name(id));
    }
  };
}
const provider = new Provider(`http://127.0.0.1:${port}`, configuration);
provider.listen(port, "127.0.0.1");
