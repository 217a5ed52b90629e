require 'sinatra'

ROOT = '/srv/pages'

get '/page/:name' do
  content_type 'text/plain'
  path = "#{ROOT}/#{params[:name]}.txt"
  File.read(path)
end
