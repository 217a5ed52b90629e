import axios, { AxiosInstance } from 'axios';
import { Agent, AgentOptions } from 'https';

const options: AgentOptions = { keepAlive: true };
options.rejectUnauthorized = false;

export const client: AxiosInstance = axios.create({ httpsAgent: new Agent(options) });
